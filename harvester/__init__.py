"""Harvests WeChat Official Account statistics into a partitioned Parquet lake."""

__version__ = "0.1.0"
