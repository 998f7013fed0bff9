"""What buyers say of a listing."""
