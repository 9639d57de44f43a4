"""The stages of finalizeImage, each a function of one detector."""
