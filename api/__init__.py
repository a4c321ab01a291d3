"""The service: tasks over REST, one holder a board, a page to watch it."""
