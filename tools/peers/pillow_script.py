"""Convert images with the simplest Pillow script: open, resize with Lanczos, crop, save, add to a tar.

python pillow_script.py LIST TAR QUALITY
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from PIL import Image

listed, target, quality = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
    for path in map(Path, listed.read_text("utf-8").splitlines()):
        image = Image.open(path).convert("RGB")
        scale = 256 / min(image.size)
        size = [max(256, round(side * scale)) for side in image.size]
        image = image.resize(size, Image.Resampling.LANCZOS)
        left, top = (size[0] - 256) // 2, (size[1] - 256) // 2
        buffer = io.BytesIO()
        image.crop((left, top, left + 256, top + 256)).save(buffer, "JPEG", quality=quality)
        for name, data in ((f"{path.stem}.cls", b"0000"), (f"{path.stem}.jpg", buffer.getvalue())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
