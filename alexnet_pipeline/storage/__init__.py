"""Storage: bytes by place, on this machine's disks or in an object store."""
