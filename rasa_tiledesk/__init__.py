"""Hand a Rasa conversation, history included, to human agents in Tiledesk."""

__version__ = "0.1.0"
__all__ = ["__version__"]
