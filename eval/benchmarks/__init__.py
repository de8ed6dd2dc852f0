"""Speed, as ratios measured side by side in one run. Each benchmark prints one JSON object as its last line."""
