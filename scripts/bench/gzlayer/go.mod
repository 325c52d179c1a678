module gzlayer

go 1.26
