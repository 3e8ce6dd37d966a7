// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DcapVerifier} from "../src/enclave/DcapVerifier.sol";
import {TcbInfo} from "../src/enclave/TcbInfo.sol";
import {TcbStatus} from "../src/enclave/TcbStatus.sol";
import {IDcapVerifier} from "../src/interfaces/IDcapVerifier.sol";
import {DcapRig} from "./DcapRig.sol";
import {vm} from "./Vm.sol";

/// @title Quotes of real machines, under Intel's root, at their time
contract DcapRealTest is DcapRig {
    uint256 private constant TDX_TIME = 1_750_414_563;
    uint256 private constant SGX_TIME = 1_750_416_971;
    uint256 private constant OUTDATED_TIME = 1_772_000_000;
    uint8 private constant CLOUD = 8 | 16 | 32;

    function test_TheRootIsIntels() public view {
        vm.assertEq(sha256(readCollateral(string.concat(TEE, "sgx_quote_collateral.json")).root), INTEL_ROOT);
    }

    function test_ATdxQuoteVerifies() public {
        bytes memory quote = prepare("tdx", TDX_TIME, CLOUD);
        IDcapVerifier.Verified memory it = dcap.verify(quote);
        vm.snapshotGasLastCall("Dcap", "verify a TDX quote");
        vm.assertEq(uint256(it.platform), 2);
        vm.assertEq(it.quoteDigest, keccak256(quote));
        vm.assertEq(uint256(it.expiresAt), 1_752_919_235);
    }

    function test_AnSgxQuoteVerifies() public {
        bytes memory quote = prepare("sgx", SGX_TIME, 4);
        IDcapVerifier.Verified memory it = dcap.verify(quote);
        vm.snapshotGasLastCall("Dcap", "verify an SGX quote");
        vm.assertEq(uint256(it.platform), 1);
        vm.assertEq(it.reportDataHead, bytes32("Hello, world!"));
        vm.assertEq(it.reportDataTail, bytes32(0));
    }

    function test_StrictNamesTheStatus() public {
        bytes memory quote = prepare("sgx", SGX_TIME, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                DcapVerifier.TcbNotAccepted.selector, bytes32("platform"), TcbStatus.ConfigurationAndSWHardeningNeeded
            )
        );
        dcap.verify(quote);
    }

    function test_AnOutdatedPlatformIsRefused() public {
        bytes memory quote = prepare("tdx", TDX_TIME, CLOUD);
        quote = prepare("tdx_quote_outdated", OUTDATED_TIME, CLOUD);
        vm.expectRevert(TcbInfo.NoTcbLevel.selector);
        dcap.verify(quote);
    }

    /// @dev A thousand single bits of each, spread over the whole.
    function test_NoFlippedBitOfATdxQuoteVerifies() public {
        refuseFlips(prepare("tdx", TDX_TIME, CLOUD));
    }

    function test_NoFlippedBitOfAnSgxQuoteVerifies() public {
        refuseFlips(prepare("sgx", SGX_TIME, 4));
    }

    function refuseFlips(bytes memory quote) private view {
        dcap.verify(quote);
        uint256 step = quote.length * 8 / 1024;
        for (uint256 i; i < 1024; ++i) {
            uint256 bit = i * step + uint256(keccak256(abi.encode(i))) % step;
            quote[bit / 8] ^= bytes1(uint8(1 << bit % 8));
            try dcap.verify(quote) {
                revert(vm.toString(bit));
            } catch {}
            quote[bit / 8] ^= bytes1(uint8(1 << bit % 8));
        }
        dcap.verify(quote);
    }

    function prepare(string memory name, uint256 time, uint8 relaxations) private returns (bytes memory) {
        vm.warp(time);
        string memory path = string.concat(TEE, name, bytes(name).length == 3 ? "_quote" : "");
        Collateral memory it = readCollateral(string.concat(path, "_collateral.json"));
        deployDcap(it.root, relaxations);
        post(it);
        return readQuote(path);
    }
}
