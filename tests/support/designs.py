"""What is known of the stored designs."""

TOO_SMALL = {("large kernel", 1800), ("aggregation", 1800)}  # budgets below the narrowest network
