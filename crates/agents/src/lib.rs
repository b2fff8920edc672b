//! A coordinator for teams of agents: mailboxes, tasks with dependencies, resources, priorities, retries and isolation.
