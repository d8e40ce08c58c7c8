"""What a policy is made of: schedules, criteria, patterns and distributions."""
