"""Parts of `fuzz.py`: how inputs are damaged, and what reads them."""
