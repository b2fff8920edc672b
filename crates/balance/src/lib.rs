//! A load balancer for any client: node registry, health, outlier ejection, strategies from round robin to peak EWMA, gradual rollout.
