module golden

go 1.26

require (
	github.com/klauspost/compress v1.15.15
	github.com/klauspost/pgzip v1.2.5
)
