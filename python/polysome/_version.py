"""The client has the version of the service it is shipped with."""

__version__ = "0.1.0"
