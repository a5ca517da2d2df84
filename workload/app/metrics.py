"""The numbers that dashboards and alerts read, named once."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("http_request_duration_seconds", "Time to answer a request.", ["method", "route"])
SUBMITTED = Counter("jobs_submitted_total", "Jobs accepted by the API.")
ENDED = Counter("jobs_attempts_total", "Attempts by outcome.", ["kind", "outcome"])
JOB_SECONDS = Histogram("job_duration_seconds", "Time of one attempt.", ["kind"])
DEPTH = Gauge("queue_depth", "Messages that wait or are being worked on.", ["kind"])
ACTIVE = Gauge("scheduler_active", "1 in the one scheduler that holds the lease.")
SWEPT = Counter("jobs_requeued_total", "Jobs whose message was lost and was put back.", ["kind"])
