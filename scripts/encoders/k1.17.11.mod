module golden

go 1.26

require (
	github.com/klauspost/compress v1.17.11
	github.com/klauspost/pgzip v1.2.6
)
