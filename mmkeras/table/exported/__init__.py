"""What `mmkeras export` does: the rows to compare on, the files, the page that shows the result."""
