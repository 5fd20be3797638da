"""Showing others who one is. That they find out is the federation's: ``exchangeOpenIdToken``."""
