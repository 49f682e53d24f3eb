package dns

import "strconv"

// The types that decoding looks into, and those of zone transfers.
const (
	typeA     = 1
	typeCNAME = 5
	typeAAAA  = 28
	typeOPT   = 41
	typeIXFR  = 251
	typeAXFR  = 252
	typeANY   = 255
)

// typeNames are the mnemonics of IANA's registry that are in use.
var typeNames = map[uint16]string{
	typeA:     "A",
	typeAAAA:  "AAAA",
	2:         "NS",
	typeCNAME: "CNAME",
	6:         "SOA",
	12:        "PTR",
	13:        "HINFO",
	15:        "MX",
	16:        "TXT",
	33:        "SRV",
	35:        "NAPTR",
	39:        "DNAME",
	typeOPT:   "OPT",
	43:        "DS",
	44:        "SSHFP",
	46:        "RRSIG",
	47:        "NSEC",
	48:        "DNSKEY",
	50:        "NSEC3",
	51:        "NSEC3PARAM",
	52:        "TLSA",
	59:        "CDS",
	60:        "CDNSKEY",
	64:        "SVCB",
	65:        "HTTPS",
	typeIXFR:  "IXFR",
	typeAXFR:  "AXFR",
	typeANY:   "ANY",
	257:       "CAA",
}

// typeName is a type's mnemonic, or TYPE and its number (RFC 3597 section 5).
func typeName(t uint16) string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}
