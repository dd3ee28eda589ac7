"""What a service provider's operators run by hand: `python -m operate`."""
