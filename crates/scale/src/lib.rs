//! An auto-scaler that really starts and stops nodes, and a capacity planner that forecasts.
