"""The stages of calibrateImage, each a composition of algorithms on one detector."""
