"""What is known of the stored designs."""

TOO_SMALL = {("large kernel", 1800), ("aggregation", 1800)}  # budgets below the narrowest network
NOT_TRAINED = {("cifar10-jpeg", "aggregation")}  # it takes hours without compiled loops, and the page says so
