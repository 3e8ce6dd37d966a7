// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

import {Calendar} from "../src/enclave/Calendar.sol";
import {DcapCertificates} from "../src/enclave/DcapCertificates.sol";
import {Der} from "../src/enclave/Der.sol";
import {P256Signature} from "../src/enclave/P256Signature.sol";
import {Pem} from "../src/enclave/Pem.sol";
import {X509} from "../src/enclave/X509.sol";
import {IDcapCertificates} from "../src/interfaces/IDcapCertificates.sol";
import {DcapForger} from "./DcapForger.sol";
import {vm} from "./Vm.sol";

/// @title Certificates and revocation lists that anybody posts: nothing that the root did not sign, in one encoding
contract DcapCertificatesTest is DcapForger {
    uint256 private constant N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;

    function setUp() public {
        deployForged(0);
    }

    // ---- the truth ------------------------------------------------------------------------------------------------

    function test_WhatIsPostedIsKept() public view {
        IDcapCertificates.Issued memory it = certificates.signerOf(signerDigest());
        vm.assertEq(bytes.concat(it.x, it.y), point(SIGNER_KEY));
        vm.assertEq(uint256(it.serial), SIGNER_KEY);
        vm.assertEq(uint256(it.notAfter), 1_830_297_600); // 2028-01-01
        vm.assertEq(uint256(certificates.revocationsOf(certificates.rootIssuer()).nextUpdate), 1_802_588_400);
        certificates.requireAuthority(keccak256(chainOf(build(authorityCert()))), 7);
    }

    // ---- the root -------------------------------------------------------------------------------------------------

    function test_TheRootIsACaThatSignsItselfAndIsCurrent() public {
        Cert memory it = rootCert();
        it.signer = CA_KEY;
        refuseRoot(it, P256Signature.SignatureInvalid.selector);
        it = rootCert();
        it.extensions = bytes.concat(usage(0xc0), constraints(false));
        refuseRoot(it, IDcapCertificates.NotItsRole.selector);
        it = rootCert();
        it.to = "270101000000Z";
        refuseRoot(it, X509.CertificateNotValid.selector);
        it = rootCert();
        it.issuer = "another";
        refuseRoot(it, X509.NotIssuedBy.selector);
    }

    // ---- who issued it, and for what ------------------------------------------------------------------------------

    function test_ASignerIsIssuedByTheRoot() public {
        Cert memory it = signerCert();
        it.signer = CA_KEY;
        refuse(it, P256Signature.SignatureInvalid.selector);
        it = signerCert();
        it.issuer = "CA";
        refuse(it, X509.NotIssuedBy.selector);
    }

    function test_NoCertificatePlaysAnothersRole() public {
        refuse(authorityCert(), IDcapCertificates.NotItsRole.selector);
        Cert memory it = signerCert();
        it.extensions = bytes.concat(it.extensions, sgxExtension(machineOf()));
        refuse(it, IDcapCertificates.NotItsRole.selector);
        refuseAuthority(chainOf(build(signerCert())), IDcapCertificates.NotItsRole.selector);
    }

    function test_ACertificateIsCurrent() public {
        Cert memory it = signerCert();
        it.to = "270115075959Z";
        refuse(it, X509.CertificateNotValid.selector);
        it.to = "270115080000Z";
        certificates.postSigner(build(it));
        it = signerCert();
        it.from = "270115080001Z";
        refuse(it, X509.CertificateNotValid.selector);
        it.from = "270115080000Z";
        certificates.postSigner(build(it));
    }

    function test_UsagesAreThereAndAgree() public {
        bytes[5] memory wrong = [
            bytes(""),
            usage(0xc0),
            constraints(false),
            bytes.concat(usage(0xc0), constraints(true)),
            bytes.concat(usage(0x06), constraints(false))
        ];
        for (uint256 i; i < wrong.length; ++i) {
            refuse(withExtensions(wrong[i]), X509.UsageMalformed.selector);
        }
        // Another type than a string of bits; FALSE where only TRUE may be said.
        bytes memory usages = extension(hex"551d0f", true, hex"040200c0");
        refuse(withExtensions(bytes.concat(usages, constraints(false))), Der.UnexpectedBytes.selector);
        Cert memory none = authorityCert();
        none.extensions = bytes.concat(usage(0x06), extension(hex"551d13", true, hex"3003010100"));
        refuseAuthority(chainOf(build(none)), Der.UnexpectedBytes.selector);
        Cert memory half = authorityCert();
        for (uint8 bit = 0x02; bit < 0x08; bit += 0x02) {
            half.extensions = bytes.concat(usage(bit), constraints(true));
            if (bit == 0x06) certificates.postAuthority(chainOf(build(half)));
            else refuseAuthority(chainOf(build(half)), X509.UsageMalformed.selector);
        }
    }

    function test_ExtensionsThatAreNotUnderstoodOrTwice() public {
        bytes memory good = signerCert().extensions;
        bytes memory odd = extension(hex"551d1e", true, hex"3000");
        refuse(withExtensions(bytes.concat(good, odd)), X509.CriticalExtensionUnknown.selector);
        bytes[3] memory twice = [usage(0xc0), constraints(false), sgxExtension(machineOf())];
        for (uint256 i; i < 3; ++i) {
            bytes memory both = i < 2 ? bytes.concat(good, twice[i]) : bytes.concat(good, twice[i], twice[i]);
            refuse(withExtensions(both), X509.ExtensionTwice.selector);
        }
        bytes memory idle = bytes.concat(usage(0), good);
        refuse(withExtensions(idle), X509.ExtensionTwice.selector);
        bytes memory uncritical = seq(hex"0603551d1e01010004023000");
        refuse(withExtensions(bytes.concat(good, uncritical)), Der.UnexpectedBytes.selector);
    }

    // ---- one encoding ---------------------------------------------------------------------------------------------

    function test_SerialsArePositiveAndShort() public {
        bytes[4] memory wrong = [bytes(hex""), hex"80", hex"0001", hex"01000000000000000000000000000000000000000000"];
        for (uint256 i; i < wrong.length; ++i) {
            Cert memory it = signerCert();
            it.serial = wrong[i];
            refuse(it, Der.IntegerMalformed.selector);
        }
        Cert memory zero = signerCert();
        zero.serial = hex"00";
        refuse(zero, X509.SerialMalformed.selector);
        zero.serial = hex"0080";
        certificates.postSigner(build(zero));
        zero.serial = hex"00ffffffffffffffffffffffffffffffffffffffff";
        certificates.postSigner(build(zero));
    }

    function test_DatesAreDates() public {
        string[10] memory wrong = [
            "271301000000Z",
            "270001000000Z",
            "270230000000Z",
            "270100000000Z",
            "270431000000Z",
            "270101240000Z",
            "270101006000Z",
            "270101000060Z",
            "27010100000 Z",
            "2801010000000"
        ];
        for (uint256 i; i < wrong.length; ++i) {
            Cert memory it = signerCert();
            it.to = wrong[i];
            refuse(it, Calendar.DateMalformed.selector);
        }
        Cert memory leap = signerCert();
        leap.to = "280229000000Z";
        certificates.postSigner(build(leap));
        leap.to = "270229000000Z";
        refuse(leap, Calendar.DateMalformed.selector);
    }

    function test_DatesHaveOneLength() public {
        string[3] memory wrong = ["280101000000Z0", "2801010000Z", ""];
        for (uint256 i; i < wrong.length; ++i) {
            Cert memory it = signerCert();
            it.to = wrong[i];
            refuse(it, Der.LengthMalformed.selector);
        }
        bytes memory old = bytes.concat(hex"301e170d", "260101000000Z", hex"170d", "280101000000Z");
        bytes memory long = bytes.concat(hex"3021170d", "260101000000Z", hex"1810", "20500101000000Z0");
        bytes memory tbs = resized(swap(tbsOf(signerCert()), old, long));
        refuseDer(signedDer(tbs, ROOT_KEY), Der.LengthMalformed.selector);
    }

    function test_LongDatesAreFrom2050On() public {
        bytes memory tbs = tbsOf(signerCert());
        bytes memory old = bytes.concat(hex"301e170d", "260101000000Z", hex"170d", "280101000000Z");
        bytes memory early = bytes.concat(hex"3020170d", "260101000000Z", hex"180f", "20280101000000Z");
        bytes memory late = bytes.concat(hex"3020170d", "260101000000Z", hex"180f", "20500101000000Z");
        refuseDer(signedDer(resized(swap(tbs, old, early)), ROOT_KEY), Calendar.DateMalformed.selector);
        bytes memory der = signedDer(resized(swap(tbs, old, late)), ROOT_KEY);
        certificates.postSigner(der);
        vm.assertEq(uint256(certificates.signerOf(keccak256(der)).notAfter), 2_524_608_000);
    }

    function test_LengthsAreTheShortest() public {
        bytes memory tbs = tbsOf(signerCert());
        bytes[4] memory lengths = [bytes(hex"02810167"), hex"0282000167", hex"028067", hex"0283000001"];
        for (uint256 i; i < 4; ++i) {
            bytes memory der = signedDer(resized(swap(tbs, hex"020167", lengths[i])), ROOT_KEY);
            refuseDer(der, Der.LengthMalformed.selector);
        }
    }

    /// @dev 128 bytes are the first that need a long length, 256 the first that need one of two bytes.
    function test_LengthsAtTheEdges() public {
        for (uint256 size = 128; size < 257; size += 128) {
            bytes memory long = extension(hex"551d1e", false, new bytes(size));
            certificates.postSigner(build(withExtensions(bytes.concat(signerCert().extensions, long))));
        }
    }

    /// @dev An extension that claims five bytes of what is behind all that is signed.
    function test_NothingReachesBeyondWhatHoldsIt() public {
        bytes memory within = hex"300c0603551d1e04053000000000";
        certificates.postSigner(build(withExtensions(bytes.concat(signerCert().extensions, within))));
        bytes memory beyond = hex"30110603551d1e040a3000000000";
        refuse(withExtensions(bytes.concat(signerCert().extensions, beyond)), Der.LengthMalformed.selector);
    }

    function test_NothingStandsBehindAnything() public {
        bytes memory der = build(signerCert());
        refuseDer(bytes.concat(der, hex"00"), Der.TrailingBytes.selector);
        refuseDer(resized(bytes.concat(der, hex"0500")), Der.TrailingBytes.selector);
        bytes memory tbs = tbsOf(signerCert());
        refuseDer(signedDer(resized(bytes.concat(tbs, hex"0500")), ROOT_KEY), Der.TrailingBytes.selector);
        for (uint256 size; size < der.length; size += 7) {
            vm.expectRevert();
            certificates.postSigner(cut(der, 0, size));
        }
    }

    function test_AlgorithmsAreTheOnlyOnes() public {
        bytes memory tbs = tbsOf(signerCert());
        refuseDer(signedDer(swap(tbs, hex"a003020102", hex"a003020101"), ROOT_KEY), Der.UnexpectedBytes.selector);
        refuseDer(signedDer(swap(tbs, hex"3d040302", hex"3d040303"), ROOT_KEY), Der.UnexpectedBytes.selector);
        refuseDer(signedDer(swap(tbs, hex"3d030107", hex"3d030106"), ROOT_KEY), Der.UnexpectedBytes.selector);
        refuseDer(signedDer(swap(tbs, hex"03420004", hex"03420002"), ROOT_KEY), Der.UnexpectedBytes.selector);
        bytes memory signature = seq(bytes.concat(integer(1), integer(1)));
        bytes memory other =
            bytes.concat(tbs, hex"300a06082a8648ce3d040303", tlv(0x03, bytes.concat(hex"00", signature)));
        refuseDer(seq(other), Der.UnexpectedBytes.selector);
    }

    function test_SignaturesHaveOneEncoding() public {
        bytes memory tbs = tbsOf(signerCert());
        (bytes32 r, bytes32 s) = vm.signP256(ROOT_KEY, sha256(tbs));
        bytes memory one = integer(uint256(r));
        bytes memory two = integer(uint256(s));
        bytes memory good = bytes.concat(one, two);
        refuseDer(wrapped(tbs, bytes.concat(hex"01", seq(good))), Der.UnexpectedBytes.selector);
        refuseDer(wrapped(tbs, bytes.concat(hex"00", seq(good), hex"00")), Der.TrailingBytes.selector);
        refuseDer(wrapped(tbs, bytes.concat(hex"00", seq(bytes.concat(good, hex"0500")))), Der.TrailingBytes.selector);
        bytes memory padded = bytes.concat(hex"0221", bytes1(0), r);
        if (uint8(r[0]) >= 0x80) padded = bytes.concat(hex"0222", bytes2(0), r);
        refuseDer(wrapped(tbs, bytes.concat(hex"00", seq(bytes.concat(padded, two)))), Der.IntegerMalformed.selector);
        bytes[4] memory none = [
            bytes.concat(integer(0), two),
            bytes.concat(one, integer(0)),
            bytes.concat(one, integer(N)),
            bytes.concat(integer(N), two)
        ];
        for (uint256 i; i < 4; ++i) {
            refuseDer(wrapped(tbs, bytes.concat(hex"00", seq(none[i]))), P256Signature.SignatureInvalid.selector);
        }
        // Intel signs with either of the two: both are accepted, and a certificate is kept by its bytes.
        certificates.postSigner(wrapped(tbs, bytes.concat(hex"00", seq(bytes.concat(one, integer(N - uint256(s)))))));
    }

    /// @dev A key off the curve verifies nothing: what it would have signed is refused, not accepted.
    function test_AKeyOffTheCurveSignsNothing() public {
        bytes memory tbs = tbsOf(signerCert());
        bytes memory key = point(SIGNER_KEY);
        bytes memory off = bytes.concat(key);
        off[63] = bytes1(uint8(off[63]) ^ 1);
        bytes memory der = signedDer(swap(tbs, key, off), ROOT_KEY);
        certificates.postSigner(der);
        bytes memory json = swap(bytes(tcbInfo(false)), "2027-01-15T07:00:00Z", "2027-01-15T07:30:00Z");
        bytes memory signature = rawSignature(SIGNER_KEY, json);
        vm.expectPartialRevert(P256Signature.SignatureInvalid.selector);
        statements.postTcbInfo(keccak256(der), json, signature);
        statements.postTcbInfo(signerDigest(), json, signature);
    }

    function test_AChainWithoutThePrecompileSaysSo() public {
        bytes memory der = build(signerCert());
        vm.mockCall(address(0x100), "", "");
        vm.expectRevert(abi.encodeWithSelector(Errors.MissingPrecompile.selector, address(0x100)));
        certificates.postSigner(der);
    }

    // ---- PEM ------------------------------------------------------------------------------------------------------

    function test_AChainHasOneText() public {
        bytes memory good = chainOf(build(authorityCert()));
        refuseAuthority(bytes.concat(good, "\n"), IDcapCertificates.TrailingText.selector);
        refuseAuthority(cut(good, 0, good.length - 1), Pem.PemMalformed.selector);
        refuseAuthority(bytes.concat("\n", good), Pem.PemMalformed.selector);
        refuseAuthority(pem(build(authorityCert())), Pem.PemMalformed.selector);
        refuseAuthority(swap(good, "CERTIFICATE-----\n", "CERTIFICATE-----\r\n"), Pem.PemMalformed.selector);
        refuseAuthority(swap(good, "CERTIFICATE-----\n", "CERTIFICATE-----\n\n"), Pem.PemMalformed.selector);
        refuseAuthority(swap(good, "-----END", "-----FIN"), Pem.PemMalformed.selector);
        refuseAuthority(swap(good, "-----BEGIN", "-----FIRST"), Pem.PemMalformed.selector);
        uint256 line = 28 + 64;
        bytes memory joined = bytes.concat(cut(good, 0, line), cut(good, line + 1, good.length));
        refuseAuthority(joined, Pem.PemMalformed.selector);
        bytes memory split = bytes.concat(cut(good, 0, 28 + 32), "\n", cut(good, 28 + 32, good.length));
        refuseAuthority(split, Pem.PemMalformed.selector);
        bytes memory odd = bytes.concat(good);
        bytes1[5] memory letters = [bytes1("-"), "=", "\n", 0xc3, 0x00];
        for (uint256 i; i < 5; ++i) {
            odd[40] = letters[i];
            refuseAuthority(odd, Pem.PemMalformed.selector);
        }
    }

    /// @dev Bits that the padding leaves over are zero: both kinds of padding.
    function test_PaddingHoldsNothing() public {
        for (uint256 kind = 1; kind < 3; ++kind) {
            bytes memory text = paddedChain(kind);
            uint256 pos;
            while (text[pos] != "=") ++pos;
            text[pos - 1] = bytes1(uint8(text[pos - 1]) + 1);
            refuseAuthority(text, Pem.PemMalformed.selector);
        }
    }

    function test_TheRootOfAChainIsTheRoot() public {
        Cert memory another = rootCert();
        another.serial = hex"17";
        bytes memory chain = bytes.concat(pem(build(authorityCert())), pem(build(another)));
        refuseAuthority(chain, IDcapCertificates.AnotherRoot.selector);
    }

    // ---- revocation lists -----------------------------------------------------------------------------------------

    function test_AListIsItsIssuersAndCurrent() public {
        refuseList(goodList("CA", ROOT_KEY, ""), X509.NotIssuedBy.selector);
        refuseList(goodList("root", CA_KEY, ""), P256Signature.SignatureInvalid.selector);
        bytes memory late = list("root", ROOT_KEY, "", "270115080001Z", "270214070000Z");
        refuseList(late, IDcapCertificates.CollateralNotCurrent.selector);
        bytes memory old = list("root", ROOT_KEY, "", "270115070001Z", "270115080000Z");
        refuseList(old, IDcapCertificates.CollateralNotCurrent.selector);
        vm.expectPartialRevert(IDcapCertificates.CollateralMissing.selector);
        certificates.postRevocations(keccak256("nobody"), old);
    }

    function test_AListIsNeverRolledBack() public {
        refuseList(goodList("root", ROOT_KEY, ""), IDcapCertificates.Rollback.selector);
        bytes memory older = list("root", ROOT_KEY, "", "270115065959Z", "270314070000Z");
        refuseList(older, IDcapCertificates.Rollback.selector);
        certificates.postRootRevocations(list("root", ROOT_KEY, "", "270115070001Z", "270214070000Z"));
    }

    /// @dev Neither another CA with the same key, nor a later one of the same name: not even its key's mirror image.
    function test_AListIsOfOneNameAndOneKey() public {
        Cert[3] memory others = [authorityCert(), authorityCert(), authorityCert()];
        others[0].subject = "CA2";
        others[1].key = 106;
        others[2].key = N - CA_KEY;
        for (uint256 i; i < 3; ++i) {
            bytes32 chain = certificates.postAuthority(chainOf(build(others[i])));
            vm.expectPartialRevert(IDcapCertificates.CollateralMissing.selector);
            certificates.requireAuthority(chain, 7);
        }
    }

    function test_AListIsAWholeOne() public {
        bytes memory times = bytes.concat(tlv(0x17, "270115073000Z"), tlv(0x17, "270214070000Z"));
        bytes memory number = seq(extension(hex"551d14", false, hex"020101"));
        bytes memory delta = seq(extension(hex"551d1b", true, hex"020101"));
        refuseList(listWith("root", ROOT_KEY, "", times, delta), X509.CriticalExtensionUnknown.selector);
        bytes memory others = seq(extension(hex"551d1d", true, hex"3000"));
        bytes memory one = seq(bytes.concat(integer(5), tlv(0x17, "270101000000Z"), others));
        refuseList(listWith("root", ROOT_KEY, one, times, number), X509.CriticalExtensionUnknown.selector);
        bytes memory good = listWith("root", ROOT_KEY, entry(hex"05"), times, number);
        refuseList(bytes.concat(good, hex"00"), Der.TrailingBytes.selector);
        refuseList(resized(bytes.concat(good, hex"0500")), Der.TrailingBytes.selector);
        bytes memory tail = seq(bytes.concat(integer(5), tlv(0x17, "270101000000Z"), hex"0500"));
        refuseList(listWith("root", ROOT_KEY, tail, times, number), Der.UnexpectedTag.selector);
        bytes memory twice = bytes.concat(number, hex"0500");
        refuseList(listWith("root", ROOT_KEY, "", times, twice), Der.TrailingBytes.selector);
        refuseList(listWith("root", ROOT_KEY, entry(hex"00"), times, number), X509.SerialMalformed.selector);
        bytes memory other = hex"300a06082a8648ce3d040303";
        bytes memory inner = seq(bytes.concat(hex"020101", other, name("root"), times, tlv(0xa0, number)));
        refuseList(signedDer(inner, ROOT_KEY), Der.UnexpectedBytes.selector);
        inner = seq(bytes.concat(hex"020101", ALGORITHM, name("root"), times, tlv(0xa0, number)));
        bytes memory outer = signedDer(inner, ROOT_KEY);
        bytes memory rest = swap(cut(outer, 3 + inner.length, outer.length), ALGORITHM, other);
        refuseList(resized(bytes.concat(cut(outer, 0, 3 + inner.length), rest)), Der.UnexpectedBytes.selector);
        bytes memory first = seq(bytes.concat(hex"020100", ALGORITHM, name("root"), times, tlv(0xa0, number)));
        refuseList(signedDer(first, ROOT_KEY), Der.UnexpectedBytes.selector);
        certificates.postRootRevocations(good);
    }

    function test_WhoeverIsRevokedCountsForNothing() public {
        bytes32 chain = keccak256(chainOf(build(authorityCert())));
        bytes memory many = bytes.concat(entry(hex"05"), entry(hex"00ff"), entry(hex"66"), entry(hex"67"));
        certificates.postRevocations(chain, list("CA", CA_KEY, many, "270115073000Z", "270214070000Z"));
        uint160[4] memory revoked = [uint160(5), 0xff, 0x66, 0x67];
        for (uint256 i; i < 4; ++i) {
            expectRevoked("platform", revoked[i]);
            certificates.requireAuthority(chain, revoked[i]);
        }
        certificates.requireAuthority(chain, 0x65);
        bytes32 signer = signerDigest();
        uint256 before = vm.snapshotState();
        certificates.postRootRevocations(list("root", ROOT_KEY, entry(hex"66"), "270115073000Z", "270214070000Z"));
        expectRevoked("authority", 0x66);
        certificates.requireAuthority(chain, 1);
        certificates.requireSigner(signer);
        vm.revertToState(before);
        certificates.postRootRevocations(list("root", ROOT_KEY, entry(hex"67"), "270115073000Z", "270214070000Z"));
        expectRevoked("signer", 0x67);
        certificates.requireSigner(signer);
        vm.revertToState(before);
        certificates.postRootRevocations(list("root", ROOT_KEY, entry(hex"65"), "270115073000Z", "270214070000Z"));
        expectRevoked("root", 0x65);
        certificates.requireSigner(signer);
    }

    function test_WithoutListsNothingCounts() public {
        deployDcap(build(rootCert()), 0);
        bytes32 chain = certificates.postAuthority(chainOf(build(authorityCert())));
        bytes32 signer = certificates.postSigner(build(signerCert()));
        bytes4 why = IDcapCertificates.CollateralMissing.selector;
        vm.expectPartialRevert(why);
        certificates.requireSigner(signer);
        vm.expectPartialRevert(why);
        certificates.requireAuthority(chain, 1);
        certificates.postRootRevocations(goodList("root", ROOT_KEY, ""));
        vm.expectPartialRevert(why);
        certificates.requireAuthority(chain, 1);
        vm.expectPartialRevert(why);
        certificates.requireSigner(keccak256("nobody"));
        vm.expectPartialRevert(why);
        certificates.requireAuthority(keccak256("nobody"), 1);
    }

    function test_OldListsAndOldCertificatesCountForNothing() public {
        bytes32 chain = keccak256(chainOf(build(authorityCert())));
        bytes32 signer = signerDigest();
        bytes4 why = IDcapCertificates.CollateralNotCurrent.selector;
        (, uint64 until) = certificates.requireAuthority(chain, 1);
        vm.assertEq(uint256(until), 1_802_588_400);
        vm.warp(until - 1);
        certificates.requireAuthority(chain, 1);
        vm.warp(until);
        vm.expectPartialRevert(why);
        certificates.requireSigner(signer);
        certificates.postRootRevocations(list("root", ROOT_KEY, "", "270214070000Z", "290214070000Z"));
        certificates.requireSigner(signer);
        vm.expectPartialRevert(why);
        certificates.requireAuthority(chain, 1);
        certificates.postRevocations(chain, list("CA", CA_KEY, "", "270214070000Z", "290214070000Z"));
        (, until) = certificates.requireAuthority(chain, 1);
        vm.assertEq(uint256(until), 1_830_297_601); // the certificates' end
        vm.warp(until - 1);
        certificates.requireAuthority(chain, 1);
        certificates.requireSigner(signer);
        vm.warp(until);
        vm.expectPartialRevert(why);
        certificates.requireAuthority(chain, 1);
        vm.expectPartialRevert(why);
        certificates.requireSigner(signer);
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    function withExtensions(bytes memory extensions) private pure returns (Cert memory it) {
        it = signerCert();
        it.extensions = extensions;
    }

    function refuseRoot(Cert memory it, bytes4 why) private {
        bytes memory der = build(it);
        vm.expectPartialRevert(why);
        new DcapCertificates(der);
    }

    function refuse(Cert memory it, bytes4 why) private {
        refuseDer(build(it), why);
    }

    function refuseDer(bytes memory der, bytes4 why) private {
        vm.expectPartialRevert(why);
        certificates.postSigner(der);
    }

    function refuseAuthority(bytes memory chain, bytes4 why) private {
        vm.expectPartialRevert(why);
        certificates.postAuthority(chain);
    }

    function refuseList(bytes memory der, bytes4 why) private {
        vm.expectPartialRevert(why);
        certificates.postRootRevocations(der);
    }

    function expectRevoked(bytes32 what, uint160 serial) private {
        vm.expectRevert(abi.encodeWithSelector(IDcapCertificates.Revoked.selector, what, serial));
    }

    /// @dev A SEQUENCE whose contents were changed, with the length that they have now.
    function resized(bytes memory der) private pure returns (bytes memory) {
        uint256 head = der[1] == 0x82 ? 4 : der[1] == 0x81 ? 3 : 2;
        return seq(cut(der, head, der.length));
    }

    function wrapped(bytes memory tbs, bytes memory bits) private pure returns (bytes memory) {
        return seq(bytes.concat(tbs, ALGORITHM, tlv(0x03, bits)));
    }

    /// @dev An authority's chain whose first certificate ends with `kind` characters of padding.
    function paddedChain(uint256 kind) private pure returns (bytes memory) {
        for (uint256 i; i < 200; ++i) {
            Cert memory it = authorityCert();
            it.serial = abi.encodePacked(uint16(0x0100 + i));
            it.subject = i % 3 == 0 ? "CA" : i % 3 == 1 ? "CA2" : "CA22";
            bytes memory der = build(it);
            if ((3 - der.length % 3) % 3 == kind) return chainOf(der);
        }
        revert("none found");
    }
}
