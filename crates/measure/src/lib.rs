//! Recording primitives: striped counters, gauges, log-linear histograms that merge and window.
