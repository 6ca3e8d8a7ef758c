"""The steps that compiled models are made of; `stream.models.program` writes the loop over rows that calls them."""
