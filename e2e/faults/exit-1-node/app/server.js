console.log("starting");
throw new Error("the cache is cold");
