"""The client shapes of images, speech and video: read into the hub's own requests, and its jobs written as each client
expects them. A job that was made through one shape is answered in the shape of the route that asks for it."""
