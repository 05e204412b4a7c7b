"""Requests in, outcomes out: the queue, the limiter, the retries and the journal.

Knows nothing of pandas, HTTP or widgets.
"""
