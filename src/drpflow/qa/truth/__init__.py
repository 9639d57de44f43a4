"""What the truth of a simulated survey says of the products: the scoreboard."""
