"""The contract: reads and writes what a data set folder holds."""
