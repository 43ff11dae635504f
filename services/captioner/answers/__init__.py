"""What providers answer: statuses, limits, and the words in it."""
