"""The words of the product as frozen pydantic models: all that crosses a workflow's border."""
