"""The reference workload: a page is scraped, processed and counted. A team replaces it by setting `image`."""
