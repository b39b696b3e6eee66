"""The API's description of itself: one source, the route table and what its handlers say of themselves."""
