"""What can be seen of the business: read models, and the queries on them."""
