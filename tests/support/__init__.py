"""What several test modules share; none of it is a test."""
