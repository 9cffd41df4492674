open("/etc/app.conf", "w").write("x")
