//! A request processor for language models: cache, single flight, batches, limits, balancing, retries, streaming, over any OpenAI-compatible server.
