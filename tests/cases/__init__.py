"""What was tried on the product from outside, and bent: a test for each case, named by its letter."""
