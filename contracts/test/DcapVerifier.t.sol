// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

import {DcapVerifier} from "../src/enclave/DcapVerifier.sol";
import {Der} from "../src/enclave/Der.sol";
import {P256Signature} from "../src/enclave/P256Signature.sol";
import {PckExtension} from "../src/enclave/PckExtension.sol";
import {Pem} from "../src/enclave/Pem.sol";
import {QeIdentity} from "../src/enclave/QeIdentity.sol";
import {Quote} from "../src/enclave/Quote.sol";
import {TcbInfo} from "../src/enclave/TcbInfo.sol";
import {TcbStatus} from "../src/enclave/TcbStatus.sol";
import {X509} from "../src/enclave/X509.sol";
import {IDcapCertificates} from "../src/interfaces/IDcapCertificates.sol";
import {IDcapVerifier} from "../src/interfaces/IDcapVerifier.sol";
import {DcapForger} from "./DcapForger.sol";
import {vm} from "./Vm.sol";

// JSON is full of double quotes.
// solhint-disable quotes

/// @title Quotes of our own vendor: each lie is signed as well as the truth, and refused for what it says
contract DcapVerifierTest is DcapForger {
    uint256 private constant N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
    bytes32 private constant DATA = keccak256("report data");
    bytes private constant ISSUED = '"issueDate":"2027-01-15T07:00:00Z"';
    bytes private constant LATER = '"issueDate":"2027-01-15T07:30:00Z"';
    bytes private constant UNTIL = '"nextUpdate":"2027-02-14T07:00:00Z"';
    bytes private constant SOONER = '"nextUpdate":"2027-01-20T00:00:00Z"';

    function setUp() public {
        deployForged(0);
    }

    // ---- the truth ------------------------------------------------------------------------------------------------

    function test_EveryKindOfQuoteVerifies() public view {
        uint256[4] memory kinds = [uint256(3), 4, 5, 51];
        for (uint256 i; i < 4; ++i) {
            bytes memory quote = assemble(specOf(kinds[i], DATA));
            IDcapVerifier.Verified memory it = dcap.verify(quote);
            vm.assertEq(uint256(it.platform), i == 0 ? 1 : 2);
            vm.assertEq(it.reportDataHead, DATA);
            vm.assertEq(it.reportDataTail, bytes32(0));
            vm.assertEq(it.quoteDigest, keccak256(quote));
            vm.assertEq(uint256(it.expiresAt), 1_802_588_400);
        }
    }

    /// @dev The same digests as oracle/attest/enclave/report.py computes.
    function test_MeasurementsAreTheRegisters() public view {
        IDcapVerifier.Verified memory it = dcap.verify(assemble(specOf(3, DATA)));
        vm.assertEq(
            it.measurement, keccak256(abi.encodePacked(keccak256("enclave"), keccak256("author"), hex"00030004"))
        );
        it = dcap.verify(assemble(specOf(4, DATA)));
        bytes memory registers = bytes.concat(keccak256("mrtd"), new bytes(16), keccak256("rtmr0"), new bytes(112));
        vm.assertEq(it.measurement, keccak256(registers));
    }

    // ---- the machine ----------------------------------------------------------------------------------------------

    function test_TheMachinesCertificateIsItsCas() public {
        Cert memory it = pckCert(machineOf());
        it.signer = ROOT_KEY;
        refuse(it, P256Signature.SignatureInvalid.selector);
        it = pckCert(machineOf());
        it.issuer = "root";
        refuse(it, X509.NotIssuedBy.selector);
        it = pckCert(machineOf());
        it.to = "270115075959Z";
        refuse(it, X509.CertificateNotValid.selector);
        it = pckCert(machineOf());
        it.from = "270115080001Z";
        refuse(it, X509.CertificateNotValid.selector);
        it = pckCert(machineOf());
        it.extensions = bytes.concat(usage(0x06), constraints(true), sgxExtension(machineOf()));
        refuse(it, DcapVerifier.NotAPlatformsCertificate.selector);
        it.extensions = bytes.concat(usage(0xc0), constraints(false));
        refuse(it, PckExtension.NotAPlatform.selector);
    }

    function test_ACertificateEndsTheVerificationToo() public view {
        Cert memory it = pckCert(machineOf());
        it.to = "270115090000Z";
        Spec memory spec = specOf(3, DATA);
        spec.chain = bytes.concat(pem(build(it)), chainOf(build(authorityCert())));
        vm.assertEq(uint256(dcap.verify(assemble(spec)).expiresAt), NOW + 3601);
    }

    /// @dev Either statement, whichever ends first.
    function test_AStatementEndsTheVerificationToo() public {
        postQeIdentity(string(swap(swap(bytes(qeIdentity(false)), ISSUED, LATER), UNTIL, SOONER)));
        vm.assertEq(uint256(dcap.verify(assemble(specOf(3, DATA))).expiresAt), 1_800_403_200);
        postTcbInfo(string(swap(swap(bytes(tcbInfo(true)), ISSUED, LATER), UNTIL, SOONER)));
        vm.assertEq(uint256(dcap.verify(assemble(specOf(4, DATA))).expiresAt), 1_800_403_200);
    }

    function test_ARevokedMachineIsRefused() public {
        bytes32 chain = keccak256(chainOf(build(authorityCert())));
        certificates.postRevocations(chain, list("CA", CA_KEY, entry(hex"68"), "270115073000Z", "270214070000Z"));
        bytes memory quote = assemble(specOf(4, DATA));
        vm.expectRevert(
            abi.encodeWithSelector(IDcapCertificates.Revoked.selector, bytes32("platform"), uint160(PCK_KEY))
        );
        dcap.verify(quote);
    }

    function test_TheRestOfTheChainIsAsPosted() public {
        Spec memory it = specOf(4, DATA);
        bytes memory leaf = pem(build(pckCert(machineOf())));
        bytes memory good = it.chain;
        bytes4 unknown = IDcapCertificates.CollateralMissing.selector;
        it.chain = leaf;
        refuseSpec(it, unknown);
        it.chain = bytes.concat(leaf, pem(build(rootCert())));
        refuseSpec(it, unknown);
        it.chain = bytes.concat(good, "\n");
        refuseSpec(it, unknown);
        it.chain = bytes.concat(good, hex"0000");
        refuseSpec(it, unknown);
        it.chain = bytes.concat(good, hex"00"); // a string may end so
        dcap.verify(assemble(it));
        it.chain = bytes.concat("\n", good);
        refuseSpec(it, Pem.PemMalformed.selector);
        it.chain = "";
        refuseSpec(it, Pem.PemMalformed.selector);
    }

    function test_TheExtensionHasOneForm() public {
        bytes memory good = sgxMembers(machineOf());
        bytes memory fmspc = member(hex"04", hex"040600906ed50000");
        refuseMembers(bytes.concat(good, fmspc), Der.UnexpectedBytes.selector);
        refuseMembers(swap(good, fmspc, ""), Der.UnexpectedBytes.selector);
        refuseMembers(swap(good, fmspc, bytes.concat(fmspc, fmspc)), Der.UnexpectedBytes.selector);
        refuseMembers(swap(good, fmspc, member(hex"04", hex"040500906ed500")), Der.LengthMalformed.selector);
        bytes memory kind = member(hex"05", hex"0a0100");
        refuseMembers(swap(good, kind, member(hex"05", hex"040100")), Der.UnexpectedBytes.selector);
        bytes memory svn = member(hex"0201", hex"020105");
        refuseMembersOfTcb(svn, "", Der.UnexpectedBytes.selector);
        refuseMembersOfTcb(svn, bytes.concat(svn, svn), Der.UnexpectedBytes.selector);
        refuseMembersOfTcb(svn, member(hex"0201", hex"02020105"), Der.IntegerMalformed.selector);
        refuseMembersOfTcb(svn, member(hex"0201", hex"020106"), PckExtension.CpuSvnDiffers.selector);
        refuseMembersOfTcb(svn, member(hex"0201", hex"0201050500"), Der.TrailingBytes.selector);
        Machine memory cloud = machineOf();
        cloud.flags = hex"000000";
        bytes memory more = sgxMembers(cloud);
        dcap.verify(assemble(withMembers(more)));
        refuseMembers(bytes.concat(more, hex"0500"), Der.TrailingBytes.selector);
        cloud.flags = hex"010000";
        refuseMembers(sgxMembers(cloud), Der.UnexpectedBytes.selector);
        Cert memory it = pckCert(machineOf());
        bytes memory two = bytes.concat(seq(good), hex"0500");
        it.extensions = bytes.concat(usage(0xc0), constraints(false), extension(SGX_PREFIX, false, two));
        refuse(it, Der.TrailingBytes.selector);
    }

    function test_SettingsOfTheMachineAreAllowedByName() public {
        bytes32[3] memory names = [bytes32("dynamic"), "cached keys", "SMT"];
        for (uint256 i; i < 3; ++i) {
            Machine memory machine = machineOf();
            machine.flags = hex"000000";
            machine.flags[i] = 0xff;
            bytes memory quote = assemble(withMembers(sgxMembers(machine)));
            DcapVerifier kind = new DcapVerifier(statements, uint8(8 << i));
            kind.verify(quote);
            DcapVerifier others = new DcapVerifier(statements, uint8(63 - (8 << i)));
            vm.expectRevert(abi.encodeWithSelector(DcapVerifier.PlatformNotAccepted.selector, names[i]));
            others.verify(quote);
        }
        vm.expectRevert(abi.encodeWithSelector(DcapVerifier.RelaxationUnknown.selector, uint8(64)));
        new DcapVerifier(statements, 64);
    }

    // ---- its state ------------------------------------------------------------------------------------------------

    function test_StatusesAreAllowedByName() public {
        string[7] memory names = [
            "UpToDate",
            "SWHardeningNeeded",
            "ConfigurationNeeded",
            "ConfigurationAndSWHardeningNeeded",
            "OutOfDate",
            "OutOfDateConfigurationNeeded",
            "Revoked"
        ];
        bytes memory quote = assemble(specOf(3, DATA));
        for (uint8 i = 1; i < 7; ++i) {
            bytes memory json = swap(bytes(tcbInfo(false)), '"UpToDate"', bytes.concat('"', bytes(names[i]), '"'));
            json = swap(json, 'Number":17', bytes.concat('Number":', bytes(vm.toString(17 + i))));
            postTcbInfo(string(json));
            expectStatus("platform", TcbStatus(i + 1));
            dcap.verify(quote);
            DcapVerifier all = new DcapVerifier(statements, 7);
            DcapVerifier others = new DcapVerifier(statements, i < 4 ? uint8(7 - (1 << (i - 1))) : 63);
            expectStatus("platform", TcbStatus(i + 1));
            others.verify(quote);
            if (i < 4) all.verify(quote);
        }
    }

    function test_TheFirstLevelThatIsReachedCounts() public {
        Machine memory old = machineOf();
        old.component = 4;
        bytes memory quote = assemble(withMembers(sgxMembers(old)));
        expectStatus("platform", TcbStatus.OutOfDate);
        dcap.verify(quote);
        old.component = 3;
        quote = assemble(withMembers(sgxMembers(old)));
        vm.expectRevert(TcbInfo.NoTcbLevel.selector);
        dcap.verify(quote);
        old = machineOf();
        old.pceSvn = 9;
        quote = assemble(withMembers(sgxMembers(old)));
        vm.expectRevert(TcbInfo.NoTcbLevel.selector);
        dcap.verify(quote);
        old.pceSvn = 11;
        dcap.verify(assemble(withMembers(sgxMembers(old))));
    }

    /// @dev Each of the sixteen numbers alone is enough to fail the first level.
    function test_EveryComponentCounts() public {
        for (uint256 i; i < 16; ++i) {
            bytes memory good = bytes(components("5"));
            bytes memory one = bytes.concat(cut(good, 0, 1));
            for (uint256 j; j < 16; ++j) {
                one = bytes.concat(
                    one, j == 0 ? bytes("") : bytes(","), j == i ? bytes('{"svn":6}') : bytes('{"svn":5}')
                );
            }
            bytes memory json = swap(bytes(tcbInfo(false)), good, bytes.concat(one, "]"));
            json = swap(json, 'Number":17', bytes.concat('Number":', bytes(vm.toString(18 + i))));
            postTcbInfo(string(json));
            bytes memory quote = assemble(specOf(3, DATA));
            expectStatus("platform", TcbStatus.OutOfDate);
            dcap.verify(quote);

            Spec memory tdx = specOf(5, DATA);
            tdx.body[i] = 0;
            quote = assemble(tdx);
            // Without the first, the module is older than any that Intel knows.
            if (i == 0) vm.expectRevert(TcbInfo.NoTcbLevel.selector);
            else expectStatus("platform", TcbStatus.OutOfDate);
            dcap.verify(quote);
        }
    }

    function test_TheTdxModuleIsIntels() public {
        Spec memory it = specOf(4, DATA);
        it.body[0] = 0x03;
        bytes memory quote = assemble(it);
        expectStatus("module", TcbStatus.OutOfDate);
        dcap.verify(quote);
        it = specOf(4, DATA);
        it.body[0] = 0x01;
        refuseSpec(it, TcbInfo.NoTcbLevel.selector);
        it = specOf(4, DATA);
        it.body[1] = 0x02;
        refuseSpec(it, TcbInfo.TdxModuleUnknown.selector);
        it.body[1] = 0x03;
        dcap.verify(assemble(it));
        uint256[4] memory places = [uint256(64), 111, 112, 119]; // the signer's ends, the attributes'
        for (uint256 i; i < 4; ++i) {
            it = specOf(4, DATA);
            it.body[places[i]] = 0x01;
            refuseSpec(it, TcbInfo.TdxModuleMismatch.selector);
        }
    }

    function test_AttributesOfTheModuleOutsideTheMaskAreRefused() public {
        bytes memory json = swap(bytes(tcbInfo(true)), '"TDX_01","mrsigner"', '"TDX_09","mrsigner"');
        json = swap(json, '"TDX_03","mrsigner"', '"TDX_01","mrsigner"');
        bytes memory mask = '"attributesMask":"FFFFFFFFFFFFFFFF","tcbLevels"';
        json = swap(json, mask, '"attributesMask":"FEFFFFFFFFFFFFFF","tcbLevels"');
        postTcbInfo(string(swap(json, ISSUED, LATER)));
        Spec memory it = specOf(4, DATA);
        dcap.verify(assemble(it));
        it.body[112] = 0x01;
        refuseSpec(it, TcbInfo.TdxModuleMismatch.selector);
    }

    function test_TheStatementIsAboutThisMachine() public {
        Machine memory other = machineOf();
        other.fmspc = 0x00906ED50001;
        refuseMembers(sgxMembers(other), IDcapCertificates.CollateralMissing.selector);
        other = machineOf();
        other.pceId = 0x0001;
        refuseMembers(sgxMembers(other), DcapVerifier.AnotherPce.selector);
    }

    function test_StatementsOfOneKindAreNotTheOthers() public {
        deployDcap(build(rootCert()), 0);
        certificates.postRootRevocations(goodList("root", ROOT_KEY, ""));
        bytes32 chain = certificates.postAuthority(chainOf(build(authorityCert())));
        certificates.postRevocations(chain, goodList("CA", CA_KEY, ""));
        certificates.postSigner(build(signerCert()));
        postTcbInfo(tcbInfo(true));
        postQeIdentity(qeIdentity(false));
        refuseSpec(specOf(3, DATA), IDcapCertificates.CollateralMissing.selector);
        refuseSpec(specOf(4, DATA), IDcapCertificates.CollateralMissing.selector);
    }

    // ---- the quoting enclave --------------------------------------------------------------------------------------

    function test_TheQuotingEnclaveIsIntels() public {
        uint256[4] memory places = [uint256(128), 256, 16, 48];
        bytes32[4] memory names = [bytes32("mrsigner"), "isvprodid", "miscselect", "attributes"];
        for (uint256 i; i < 4; ++i) {
            Spec memory it = specOf(3, DATA);
            it.qeReport[places[i]] = bytes1(uint8(it.qeReport[places[i]]) ^ (i == 1 ? 3 : 0x20));
            bytes memory quote = assemble(it);
            vm.expectRevert(abi.encodeWithSelector(QeIdentity.QuotingEnclaveUnknown.selector, names[i]));
            dcap.verify(quote);
        }
        Spec memory masked = specOf(3, DATA);
        masked.qeReport[48] = 0x15; // a bit that Intel's mask leaves out
        dcap.verify(assemble(masked));
        Spec memory old = specOf(3, DATA);
        old.qeReport[258] = 0x07;
        bytes memory late = assemble(old);
        expectStatus("quoting enclave", TcbStatus.OutOfDate);
        dcap.verify(late);
        old.qeReport[258] = 0x05;
        refuseSpec(old, TcbInfo.NoTcbLevel.selector);
        old.qeReport[259] = 0x01;
        dcap.verify(assemble(old));
    }

    /// @dev One bit of every nibble: those under the mask count, the others may be anything.
    function test_TheMasksOfTheIdentityAreItsOwn() public {
        bytes memory json = swap(bytes(qeIdentity(false)), '"miscselect":"00000000"', '"miscselect":"A1B2C3D4"');
        json = swap(json, '"miscselectMask":"FFFFFFFF"', '"miscselectMask":"FF00F00F"');
        json = swap(json, "11000000000000000000000000000000", "15030405060708090A0B0C0D0E0F1001");
        json = swap(json, "FBFFFFFFFFFFFFFF0000000000000000", "FF0FF00FFF00F0F00F0FFF000FF0F00F");
        json = swap(json, '"isvprodid":1', '"isvprodid":513');
        postQeIdentity(string(swap(json, ISSUED, LATER)));
        bytes memory mask = hex"ff00f00fff0ff00fff00f0f00f0fff000ff0f00f";
        bytes memory value = hex"a1b2c3d415030405060708090a0b0c0d0e0f1001";
        Spec memory it = specOf(3, DATA);
        for (uint256 i; i < 20; ++i) {
            it.qeReport[i < 4 ? 16 + i : 44 + i] = value[i] & mask[i];
        }
        it.qeReport[257] = 0x02;
        dcap.verify(assemble(it));
        for (uint256 i; i < 40; ++i) {
            uint256 place = i < 8 ? 16 + i / 2 : 44 + i / 2;
            bytes1 bit = bytes1(uint8(1 << ((i + 1) % 2 * 4 + i / 2 % 4)));
            it.qeReport[place] ^= bit;
            if (mask[i / 2] & bit == 0) dcap.verify(assemble(it));
            else refuseSpec(it, QeIdentity.QuotingEnclaveUnknown.selector);
            it.qeReport[place] ^= bit;
        }
    }

    function test_TheQuotingEnclaveIsNotDebugged() public {
        bytes memory json = swap(bytes(qeIdentity(false)), "FBFFFFFFFFFFFFFF", "F9FFFFFFFFFFFFFF");
        postQeIdentity(string(swap(json, ISSUED, LATER)));
        Spec memory it = specOf(3, DATA);
        dcap.verify(assemble(it));
        it.qeReport[48] = 0x13;
        bytes memory quote = assemble(it);
        vm.expectRevert(abi.encodeWithSelector(QeIdentity.QuotingEnclaveUnknown.selector, bytes32("attributes")));
        dcap.verify(quote);
    }

    function test_TheQuotingEnclaveVouchesForTheKey() public {
        Spec memory it = specOf(3, DATA);
        it.isVouched = false;
        refuseSpec(it, DcapVerifier.AnotherAttestationKey.selector);
        it = specOf(3, DATA);
        it.qeReport[352] = 0x01; // behind the digest
        refuseSpec(it, DcapVerifier.AnotherAttestationKey.selector);
        it = specOf(3, DATA);
        it.qeReport[383] = 0x01;
        refuseSpec(it, DcapVerifier.AnotherAttestationKey.selector);
        it = specOf(4, DATA);
        bytes memory quote = assemble(it);
        quote[632 + 4 + 128 + 6 + 384 + 64 + 2] = 0x01; // authentication data
        vm.expectRevert(DcapVerifier.AnotherAttestationKey.selector);
        dcap.verify(quote);
    }

    function test_EverySignatureIsItsKeys() public {
        Spec memory it = specOf(4, DATA);
        it.pckKey = CA_KEY;
        expectSignature("quoting enclave", assemble(it));
        bytes memory quote = assemble(specOf(4, DATA));
        bytes memory others = assemble(specOf(4, keccak256("another")));
        put(quote, 636, cut(others, 636, 700));
        expectSignature("quote", quote);
        // A header that was changed after it was signed.
        quote = assemble(specOf(4, DATA));
        quote[30] = 0x01;
        expectSignature("quote", quote);
    }

    /// @dev Of each signature in a quote: r and s of zero and of the order, and the twin, which is as good.
    function test_SignaturesAreInRangeAndEitherTwinWillDo() public {
        uint256[2] memory places = [uint256(636), 636 + 128 + 6 + 384];
        for (uint256 i; i < 2; ++i) {
            bytes memory good = assemble(specOf(4, DATA));
            for (uint256 part; part < 2; ++part) {
                bytes memory quote = bytes.concat(good);
                put(quote, places[i] + 32 * part, new bytes(32));
                expectSignature(i == 0 ? bytes32("quote") : bytes32("quoting enclave"), quote);
                put(quote, places[i] + 32 * part, abi.encodePacked(N));
                expectSignature(i == 0 ? bytes32("quote") : bytes32("quoting enclave"), quote);
                put(quote, places[i] + 32 * part, abi.encodePacked(type(uint256).max));
                expectSignature(i == 0 ? bytes32("quote") : bytes32("quoting enclave"), quote);
            }
            uint256 s = uint256(bytes32(cut(good, places[i] + 32, places[i] + 64)));
            put(good, places[i] + 32, abi.encodePacked(N - s));
            dcap.verify(good);
        }
    }

    function test_AnAttestationKeyOffTheCurveSignsNothing() public {
        Spec memory it = specOf(4, DATA);
        it.isVouched = false;
        bytes memory off = point(ATTESTATION_KEY);
        off[63] = bytes1(uint8(off[63]) ^ 1);
        put(it.qeReport, 320, bytes.concat(sha256(bytes.concat(off, it.auth))));
        bytes memory quote = assemble(it);
        put(quote, 636 + 64, off);
        expectSignature("quote", quote);
        bytes memory none = new bytes(64);
        put(it.qeReport, 320, bytes.concat(sha256(bytes.concat(none, it.auth))));
        quote = assemble(it);
        put(quote, 636 + 64, none);
        expectSignature("quote", quote);
    }

    function test_AChainWithoutThePrecompileSaysSo() public {
        bytes memory quote = assemble(specOf(4, DATA));
        vm.mockCall(address(0x100), "", "");
        vm.expectRevert(abi.encodeWithSelector(Errors.MissingPrecompile.selector, address(0x100)));
        dcap.verify(quote);
    }

    // ---- what runs ------------------------------------------------------------------------------------------------

    function test_WhatCanBeLookedIntoIsRefused() public {
        Spec memory it = specOf(3, DATA);
        it.body[48] = 0x07;
        refuseSpec(it, Quote.DebugEnclave.selector);
        it.body[48] = 0x04;
        refuseSpec(it, Quote.AttributesRefused.selector);
        it.body[48] = 0x01;
        refuseSpec(it, Quote.AttributesRefused.selector);
        for (uint256 bit; bit < 64; ++bit) {
            it = specOf(4, DATA);
            it.body[120 + bit / 8] ^= bytes1(uint8(1 << bit % 8));
            if (bit == 30 || bit == 31) dcap.verify(assemble(it)); // protection keys and key locker: the guest's own
            else refuseSpec(it, bit < 8 ? Quote.DebugEnclave.selector : Quote.AttributesRefused.selector);
        }
    }

    function test_AGuestWithAServiceTdIsRefused() public {
        for (uint256 i; i < 48; i += 47) {
            Spec memory it = specOf(51, DATA);
            it.body[600 + i] = 0x01;
            refuseSpec(it, Quote.AttributesRefused.selector);
        }
        Spec memory second = specOf(51, DATA);
        second.body[584] = 0x09; // TEE_TCB_SVN_2
        dcap.verify(assemble(second));
    }

    // ---- the quote's form -----------------------------------------------------------------------------------------

    function test_QuotesHaveOneForm() public {
        refuseHeader(4, 0, hex"06");
        refuseHeader(4, 0, hex"03");
        refuseHeader(3, 0, hex"04");
        refuseHeader(3, 0, hex"02");
        refuseHeader(3, 1, hex"01");
        refuseHeader(3, 2, hex"03");
        refuseHeader(3, 4, hex"01");
        refuseHeader(4, 4, hex"80");
        refuseHeader(4, 12, hex"92");
        refuseHeader(4, 27, hex"08");
        refuseHeader(5, 48, hex"01");
        refuseHeader(5, 48, hex"04");
        refuseHeader(5, 50, hex"49");
        refuseHeader(5, 53, hex"01");
        refuseHeader(51, 48, hex"01");
        refuseHeader(51, 48, hex"04");
        Spec memory it = specOf(4, DATA);
        it.auth = new bytes(31);
        refuseSpec(it, Quote.QuoteMalformed.selector);
        it.auth = new bytes(33);
        refuseSpec(it, Quote.QuoteMalformed.selector);
        bytes memory quote = assemble(specOf(4, DATA));
        uint256 auth = 764 + 6 + 384 + 64;
        uint256[7] memory heads = [uint256(632), 764, 766, auth, auth + 1, auth + 34, auth + 36];
        for (uint256 i; i < 7; ++i) {
            bytes memory odd = bytes.concat(quote);
            odd[heads[i]] = bytes1(uint8(odd[heads[i]]) ^ 1);
            refuseQuote(odd, Quote.QuoteMalformed.selector);
        }
        refuseQuote(bytes.concat(quote, hex"00"), Quote.QuoteMalformed.selector);
        for (uint256 size; size < quote.length; size += 37) {
            refuseQuote(cut(quote, 0, size), Quote.QuoteMalformed.selector);
        }
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    function withMembers(bytes memory members) private pure returns (Spec memory it) {
        Cert memory leaf = pckCert(machineOf());
        leaf.extensions = bytes.concat(usage(0xc0), constraints(false), extension(SGX_PREFIX, false, seq(members)));
        it = specOf(3, DATA);
        it.chain = bytes.concat(pem(build(leaf)), chainOf(build(authorityCert())));
    }

    function refuse(Cert memory leaf, bytes4 why) private {
        Spec memory it = specOf(4, DATA);
        it.chain = bytes.concat(pem(build(leaf)), chainOf(build(authorityCert())));
        refuseSpec(it, why);
    }

    function refuseMembers(bytes memory members, bytes4 why) private {
        refuseSpec(withMembers(members), why);
    }

    /// @dev The second member of the extension with one of its own changed.
    function refuseMembersOfTcb(bytes memory old, bytes memory fresh, bytes4 why) private {
        bytes memory good = sgxMembers(machineOf());
        bytes memory head = member(hex"01", tlv(0x04, new bytes(16)));
        bytes memory tail = bytes.concat(
            member(hex"03", hex"04020000"), member(hex"04", hex"040600906ed50000"), member(hex"05", hex"0a0100")
        );
        bytes memory tcb = cut(good, head.length, good.length - tail.length);
        // SEQUENCE (82 xx xx) { OID (12) SEQUENCE (82 xx xx) { … } }
        bytes memory inner = swap(cut(tcb, 4 + 12 + 4, tcb.length), old, fresh);
        refuseMembers(bytes.concat(head, member(hex"02", seq(inner)), tail), why);
    }

    function refuseHeader(uint256 version, uint256 pos, bytes memory value) private {
        Spec memory it = specOf(version, DATA);
        put(it.header, pos, value);
        refuseSpec(it, Quote.QuoteMalformed.selector);
    }

    function refuseSpec(Spec memory it, bytes4 why) private {
        refuseQuote(assemble(it), why);
    }

    function refuseQuote(bytes memory quote, bytes4 why) private {
        vm.expectPartialRevert(why);
        dcap.verify(quote);
    }

    function expectSignature(bytes32 what, bytes memory quote) private {
        vm.expectRevert(abi.encodeWithSelector(P256Signature.SignatureInvalid.selector, what));
        dcap.verify(quote);
    }

    function expectStatus(bytes32 what, TcbStatus status) private {
        vm.expectRevert(abi.encodeWithSelector(DcapVerifier.TcbNotAccepted.selector, what, status));
    }
}
