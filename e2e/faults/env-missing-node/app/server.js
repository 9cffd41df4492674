if (!process.env.STRIPE_API_KEY) {
  throw new Error("STRIPE_API_KEY is required");
}
