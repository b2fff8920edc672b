//! Time-series mathematics: robust trends with calibrated confidence, seasonality, forecasts with intervals, streaming anomaly detection.
