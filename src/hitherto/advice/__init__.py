"""What to build for a memory that is wanted: candidates, what each can hold and learn, and which to take."""
