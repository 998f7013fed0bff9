"""The engines that hold read models, and how they are reached."""
