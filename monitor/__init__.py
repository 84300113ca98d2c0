"""imgmon: measures image-generation APIs and publishes the order clients should call them in."""
