#!/usr/bin/ruby
puts "hello"
