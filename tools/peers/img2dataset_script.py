"""Run img2dataset over the same files, given as file URLs, in one process.

python img2dataset_script.py LIST FOLDER QUALITY
"""

from __future__ import annotations

import sys
from pathlib import Path

from img2dataset import download

if __name__ == "__main__":
    listed, folder, quality = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    urls = folder.with_suffix(".txt")
    urls.write_text("".join(f"{Path(line).as_uri()}\n" for line in listed.read_text("utf-8").splitlines()), "utf-8")
    download(
        url_list=str(urls),
        output_folder=str(folder),
        image_size=256,
        resize_mode="center_crop",
        resize_only_if_bigger=False,
        encode_quality=quality,
        output_format="webdataset",
        processes_count=1,
        thread_count=2,
    )
