// Compiled into dist/ by a build that nobody runs.
