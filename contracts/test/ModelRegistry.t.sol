// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Claims} from "../src/libraries/Claims.sol";
import {CodeStorage} from "../src/libraries/CodeStorage.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";

/// @title Models: an id is its contents, for ever
contract ModelRegistryTest is Deployment {
    bytes32[] private none;
    bytes32[] private onePart;

    function setUp() public override {
        super.setUp();
        onePart.push(models.storeParameters(points(1, "one")));
    }

    function testFuzz_ACanonicalModelKeepsItsCircuit(bytes32 manifest, bytes calldata circuit) public {
        vm.assume(manifest != 0 && circuit.length != 0);
        bytes32 id = Claims.hashModel(1, manifest, keccak256(circuit), onePart);
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelRegistered(id, 1, manifest, keccak256(circuit), onePart, address(this), "file:a");
        vm.assertEq(models.register(1, manifest, circuit, onePart, "file:a"), id);
        vm.assertEq(models.circuitOf(id), circuit);
        IModelRegistry.Model memory model = models.modelOf(id);
        vm.assertEq(model.owner, address(this));
        vm.assertEq(model.kind, 1);
        vm.assertEq(model.manifestDigest, manifest);
        vm.assertEq(model.circuitDigest, keccak256(circuit));
        vm.assertEq(model.circuitPointer.code, bytes.concat(hex"00", circuit));
        vm.assertEq(models.circuitPointerOf(id), model.circuitPointer);
    }

    function test_TheLargestCircuitFitsAndOneByteMoreDoesNot() public {
        bytes memory circuit = new bytes(24_575);
        bytes32 id = models.register(1, "m", circuit, onePart, "");
        vm.assertEq(models.circuitOf(id), circuit);
        vm.expectRevert(abi.encodeWithSelector(CodeStorage.TooLong.selector, 24_575, 24_576));
        models.register(1, "m2", new bytes(24_576), onePart, "");
    }

    /// @dev A creation that runs out of gas leaves a 64th of it, which would be enough to tell of what was not stored.
    function test_TooLittleGasStoresNothing() public {
        bytes memory part = points(255, "large");
        vm.expectRevert(CodeStorage.WriteFailed.selector);
        models.storeParameters{gas: 4_900_000}(part);
        vm.assertEq(models.pointerOf(keccak256(bytes.concat(hex"00", part))), address(0));
    }

    /// @dev Stored bytes begin with STOP: a circuit, or points, that are a program do nothing when called.
    function test_WhatIsStoredCannotBeExecuted() public {
        bytes32 id = models.register(1, "m", hex"5f5ffd", onePart, "");
        (bool isSuccess,) = models.modelOf(id).circuitPointer.call("");
        vm.assertEq(isSuccess, true);
        (isSuccess,) = models.parametersOf(id)[0].call("");
        vm.assertEq(isSuccess, true);
    }

    function test_AnOpaqueModelHasNoCircuitAndNoParameters() public {
        bytes32 id = models.register(2, "m", "", none, "");
        vm.assertEq(models.circuitOf(id).length, 0);
        vm.assertEq(models.circuitPointerOf(id), address(0));
        vm.assertEq(models.parametersOf(id).length, 0);
        vm.assertEq(models.parameterDigestsOf(id).length, 0);
        vm.assertEq(models.modelOf(id).circuitPointer, address(0));
        vm.assertEq(models.modelOf(id).circuitDigest, bytes32(0));
        vm.expectRevert(IModelRegistry.CircuitUnexpected.selector);
        models.register(2, "m2", hex"01", none, "");
        vm.expectRevert(IModelRegistry.CircuitMissing.selector);
        models.register(1, "m2", "", onePart, "");
        vm.expectRevert(IModelRegistry.ParametersUnexpected.selector);
        models.register(2, "m2", "", onePart, "");
        vm.expectRevert(IModelRegistry.ParametersMissing.selector);
        models.register(1, "m2", hex"01", none, "");
    }

    function testFuzz_UnknownKindsAreRefused(uint8 kind) public {
        vm.assume(kind != 1 && kind != 2);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownKind.selector, kind));
        models.register(kind, "m", hex"01", onePart, "");
    }

    function test_AModelWithoutAManifestIsRefused() public {
        vm.expectRevert(IModelRegistry.ManifestMissing.selector);
        models.register(2, 0, "", none, "");
    }

    function test_AModelIsRegisteredOnce() public {
        bytes32 id = models.register(2, "m", "", none, "here");
        vm.prank(address(0xBAD));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, id));
        models.register(2, "m", "", none, "elsewhere");
    }

    function test_TheOwnerDeprecatesOnceAndNobodyElse() public {
        bytes32 id = models.register(2, "m", "", none, "");
        vm.assertEq(models.isActive(id), true);
        vm.prank(address(0xBAD));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, address(this), address(0xBAD)));
        models.deprecate(id);
        models.deprecate(id);
        vm.assertEq(models.isActive(id), false);
        vm.assertEq(models.modelOf(id).isDeprecated, true);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyDeprecated.selector, id));
        models.deprecate(id);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, id));
        models.register(2, "m", "", none, "");
    }

    function test_AnUnknownModelHasNothing() public {
        vm.assertEq(models.isActive("none"), false);
        bytes memory unknown = abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, bytes32("none"));
        vm.expectRevert(unknown);
        models.modelOf("none");
        vm.expectRevert(unknown);
        models.circuitOf("none");
        vm.expectRevert(unknown);
        models.circuitPointerOf("none");
        vm.expectRevert(unknown);
        models.parametersOf("none");
        vm.expectRevert(unknown);
        models.parameterDigestsOf("none");
        vm.expectRevert(unknown);
        models.deprecate("none");
    }

    // ---- the commitments to the weights -----------------------------------------------------------------------

    function testFuzz_APartIsStoredUnderItsCodeHashOnce(uint8 count, bytes32 seed, address second) public {
        // Of a digest, because a seed that another part has is one that the fuzzer finds in this file.
        bytes memory part = points(bound(count, 1, 255), keccak256(abi.encode(seed)));
        bytes32 digest = keccak256(bytes.concat(hex"00", part));
        vm.assertEq(models.pointerOf(digest), address(0));
        vm.assertEq(models.storeParameters(part), digest);
        address pointer = models.pointerOf(digest);
        vm.assertEq(pointer.code, bytes.concat(hex"00", part));
        vm.assertEq(pointer.codehash, digest);
        vm.prank(second);
        vm.assertEq(models.storeParameters(part), digest);
        vm.assertEq(models.pointerOf(digest), pointer);
    }

    function test_APartIsWholePointsNotNoneAndNotMoreThanFit() public {
        uint256[6] memory lengths = [uint256(0), 1, 95, 97, 24_480 - 1, 24_480 + 96];
        for (uint256 i; i < lengths.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.PartLength.selector, lengths[i]));
            models.storeParameters(new bytes(lengths[i]));
        }
        models.storeParameters(new bytes(24_480));
    }

    function test_AModelBindsItsPartsAndTheirOrder() public {
        bytes32[] memory parts = new bytes32[](3);
        parts[0] = models.storeParameters(points(255, "first"));
        parts[1] = models.storeParameters(points(255, "second"));
        parts[2] = models.storeParameters(points(3, "last"));
        bytes32 id = models.register(1, "m", hex"01", parts, "");
        vm.assertEq(id, Claims.hashModel(1, "m", keccak256(hex"01"), parts));
        vm.assertEq(keccak256(abi.encode(models.parameterDigestsOf(id))), keccak256(abi.encode(parts)));
        address[] memory pointers = models.parametersOf(id);
        vm.assertEq(pointers.length, 3);
        vm.assertEq(pointers[2].code, bytes.concat(hex"00", points(3, "last")));
        (parts[0], parts[1]) = (parts[1], parts[0]);
        vm.assertNotEq(models.register(1, "m", hex"01", parts, ""), id);
    }

    function test_APartThatIsNotStoredIsRefused() public {
        bytes32[] memory parts = new bytes32[](2);
        parts[0] = models.storeParameters(points(255, "first"));
        parts[1] = keccak256("not stored");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.PartNotStored.selector, parts[1]));
        models.register(1, "m", hex"01", parts, "");
        parts[1] = models.storeParameters(points(1, "last"));
        models.register(1, "m", hex"01", parts, "");
    }

    /// @dev Otherwise the same points, cut elsewhere, would be the same model under several ids.
    function test_OnlyTheLastPartMayBeShort() public {
        bytes32[] memory parts = new bytes32[](2);
        parts[0] = models.storeParameters(points(254, "first"));
        parts[1] = models.storeParameters(points(255, "last"));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.PartNotFull.selector, parts[0], 24_480, 24_384));
        models.register(1, "m", hex"01", parts, "");
        (parts[0], parts[1]) = (parts[1], parts[0]);
        models.register(1, "m", hex"01", parts, "");
    }

    function test_ThereIsALimitOfParts() public {
        bytes32 full = models.storeParameters(points(255, "full"));
        bytes32[] memory parts = new bytes32[](32);
        for (uint256 i; i < parts.length; ++i) {
            parts[i] = full;
        }
        vm.assertEq(models.parametersOf(models.register(1, "m", hex"01", parts, "")).length, 32);
        bytes32[] memory more = new bytes32[](33);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.TooManyParts.selector, 32, 33));
        models.register(1, "m", hex"01", more, "");
    }

    /// @dev Bytes of this many points; what they are does not matter here.
    function points(uint256 count, bytes32 seed) private pure returns (bytes memory part) {
        part = new bytes(96 * count);
        for (uint256 i; i < 3 * count; ++i) {
            bytes32 word = keccak256(abi.encode(seed, i));
            assembly ("memory-safe") {
                mstore(add(add(part, 0x20), mul(i, 0x20)), word)
            }
        }
    }
}
