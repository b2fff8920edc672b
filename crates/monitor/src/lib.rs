//! Live metrics, alert rules with corrective actions, trend and anomaly analysis, deadlock and contention watch, Prometheus text.
