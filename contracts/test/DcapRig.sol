// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DcapCertificates} from "../src/enclave/DcapCertificates.sol";
import {DcapCollateral} from "../src/enclave/DcapCollateral.sol";
import {DcapVerifier} from "../src/enclave/DcapVerifier.sol";
import {Pem} from "../src/enclave/Pem.sol";
import {vm} from "./Vm.sol";

/// @title Quotes with their collateral, from files of tests/vectors, posted as anybody would
abstract contract DcapRig {
    string internal constant TEE = "tests/vectors/tee/";
    /// @dev SHA-256 of Intel's root certificate, as oracle/attest/enclave/report.py pins it.
    bytes32 internal constant INTEL_ROOT = 0x44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3;

    struct Collateral {
        bytes authority;
        bytes root;
        bytes signer;
        bytes rootList;
        bytes list;
        bytes tcbInfo;
        bytes tcbInfoSignature;
        bytes qeIdentity;
        bytes qeIdentitySignature;
    }

    DcapCertificates internal certificates;
    DcapCollateral internal statements;
    DcapVerifier internal dcap;

    function readCollateral(string memory path) internal view returns (Collateral memory it) {
        string memory json = vm.readFile(path);
        it.authority = bytes(vm.parseJsonString(json, ".pck_crl_issuer_chain"));
        (, uint256 pos) = Pem.decode(it.authority, 0);
        (it.root,) = Pem.decode(it.authority, pos);
        (it.signer,) = Pem.decode(bytes(vm.parseJsonString(json, ".tcb_info_issuer_chain")), 0);
        it.rootList = hexOf(json, ".root_ca_crl");
        it.list = hexOf(json, ".pck_crl");
        it.tcbInfo = bytes(vm.parseJsonString(json, ".tcb_info"));
        it.tcbInfoSignature = hexOf(json, ".tcb_info_signature");
        it.qeIdentity = bytes(vm.parseJsonString(json, ".qe_identity"));
        it.qeIdentitySignature = hexOf(json, ".qe_identity_signature");
    }

    /// @dev A quote without the zeros behind it.
    function readQuote(string memory path) internal view returns (bytes memory quote) {
        quote = vm.readFileBinary(path);
        uint256 size = declaredSize(quote);
        assembly ("memory-safe") {
            mstore(quote, size)
        }
    }

    function declaredSize(bytes memory quote) internal pure returns (uint256) {
        uint256 signedEnd = quote[0] == 0x03 ? 432 : quote[0] == 0x04 ? 632 : quote[48] == 0x02 ? 638 : 702;
        return signedEnd + 4 + uint256(uint8(quote[signedEnd])) + 256 * uint256(uint8(quote[signedEnd + 1]));
    }

    function deployDcap(bytes memory root, uint8 relaxations) internal {
        certificates = new DcapCertificates(root);
        statements = new DcapCollateral(certificates);
        dcap = new DcapVerifier(statements, relaxations);
    }

    function post(Collateral memory it) internal {
        certificates.postRootRevocations(it.rootList);
        bytes32 chain = certificates.postAuthority(it.authority);
        certificates.postRevocations(chain, it.list);
        bytes32 signer = certificates.postSigner(it.signer);
        statements.postTcbInfo(signer, it.tcbInfo, it.tcbInfoSignature);
        statements.postQeIdentity(signer, it.qeIdentity, it.qeIdentitySignature);
    }

    function hexOf(string memory json, string memory key) private pure returns (bytes memory) {
        return vm.parseBytes(string.concat("0x", vm.parseJsonString(json, key)));
    }
}
